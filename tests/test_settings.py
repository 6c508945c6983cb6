"""Settings: read once, all wrong ones told together, secrets never shown."""

from pathlib import Path

import pytest

from bot.configuration import load
from bot.errors import SettingsError
from bot.settings import Settings
from bot.variables import VARIABLES


def problems(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return caught.value.problems


def configured(tmp_path: Path, text: str, **environ: str) -> Settings:
    return load({**environ, "MISTRAL_BOT_CONFIG": str(written(tmp_path, text))})


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bot.yaml"
    path.write_text(text)
    return path


def test_nothing_set_gives_the_defaults_of_the_table() -> None:
    settings = load({})
    (target,) = settings.targets
    assert target.name == "default"
    assert target.mistral.api_url == "https://api.mistral.ai"
    assert target.mistral.canary_models == ("mistral-small-latest",)
    assert target.mistral.slow_s == 3
    assert not target.kubernetes.configured
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)  # noqa: S104 - the default is what is tested
    assert settings.database_url == "sqlite+aiosqlite:///mistral-bot.db"


def test_an_empty_variable_counts_as_unset_but_empty_canary_models_mean_none() -> None:
    settings = load({"PORT": "", "MISTRAL_CANARY_MODELS": "", "MISTRAL_STATUS_URL": ""})
    assert settings.port == 8080
    assert settings.targets[0].mistral.canary_models == ()
    assert settings.targets[0].mistral.status_url is None


@pytest.mark.parametrize(
    ("variable", "held", "should"),
    [
        ("PORT", "eighty", "a port number"),
        ("PORT", "65536", "a port number"),
        ("MISTRAL_API_URL", "api.mistral.ai", "http:// or https:// URL"),
        ("MISTRAL_API_URL", "http://[::1", "http:// or https:// URL"),
        ("MISTRAL_SLOW_SECONDS", "nan", "a number of seconds above 0"),
        ("MISTRAL_SLOW_SECONDS", "-1", "a number of seconds above 0"),
        ("KUBE_NAMESPACE", "../kube-system", "a Kubernetes name"),
        ("PROMETHEUS_ERRORS", "errors total", "a counter or a selector"),
        ("SSL_CERT_FILE", "/no/such/file", "a file that exists"),
        ("DATABASE_URL", "mysql://x", "sqlite+aiosqlite"),
        ("MISTRAL_CANARY_MODELS", "a b", "model names"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_what_it_holds_and_what_it_should(
    variable: str, held: str, should: str
) -> None:
    (problem,) = problems({variable: held})
    assert problem.startswith(f"{variable} holds {held!r}")
    assert should in problem
    assert "\n" not in problem


def test_several_wrong_values_are_told_together() -> None:
    assert len(problems({"PORT": "x", "MISTRAL_API_URL": "y", "KUBE_SECRET": "Z"})) == 3


@pytest.mark.parametrize("variable", [name for name, variable in VARIABLES.items() if variable.secret])
def test_a_wrong_secret_is_told_without_showing_it(variable: str) -> None:
    (problem,) = problems({variable: "hunter2 with spaces"})
    assert "hunter2" not in problem
    assert "a secret of 19 characters" in problem


def test_a_password_in_a_url_is_masked() -> None:
    (problem,) = problems({"HTTPS_PROXY": "ftp://user:hunter2@proxy"})
    assert "hunter2" not in problem


def test_no_secret_shows_in_the_settings_themselves() -> None:
    secrets = {name: f"planted-{name}" for name, variable in VARIABLES.items() if variable.secret}
    assert "planted" not in repr(load(secrets))


def test_the_bot_token_in_the_place_of_the_app_token_is_told() -> None:
    (problem,) = problems({"SLACK_APP_TOKEN": "xoxb-1"})
    assert "xapp-" in problem


def test_neither_socket_mode_nor_http_mode_is_a_clear_sentence() -> None:
    told = load({"SLACK_BOT_TOKEN": "xoxb-1"}).slack.problems()
    assert told == [
        "neither SLACK_APP_TOKEN (Socket Mode) nor SLACK_SIGNING_SECRET (HTTP mode) is set; set one of them"
    ]
    assert load({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_SIGNING_SECRET": "s"}).slack.problems() == []


def test_proxies_are_read_in_small_letters_too() -> None:
    network = load({"https_proxy": "proxy:3128", "no_proxy": "localhost"}).network
    assert (network.https_proxy, network.no_proxy) == ("http://proxy:3128", "localhost")


def test_the_cluster_is_the_named_kubeconfig_else_the_pods_own_else_the_usual_file_else_off(tmp_path: Path) -> None:
    assert load({"KUBECONFIG": "/x"}).targets[0].kubernetes.kubeconfig == "/x"
    assert load({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).targets[0].kubernetes.in_cluster
    assert not load({"HOME": str(tmp_path)}).targets[0].kubernetes.configured
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("{}")
    assert load({"HOME": str(tmp_path)}).targets[0].kubernetes.kubeconfig == str(tmp_path / ".kube" / "config")


def test_a_further_target_overrides_what_it_names_and_inherits_the_rest(tmp_path: Path) -> None:
    settings = configured(
        tmp_path,
        "targets:\n- name: eu\n  MISTRAL_API_KEY: ${EU_KEY}\n  KUBE_CONTEXT: eu\n  MISTRAL_SLOW_SECONDS: 5\n",
        EU_KEY="eu-secret",
        SERVICE_HEALTH_URL="http://health",
    )
    eu = settings.target("eu")
    assert eu.mistral.api_key is not None
    assert eu.mistral.api_key.reveal() == "eu-secret"
    assert (eu.kubernetes.context, eu.mistral.slow_s, eu.service_health_url) == ("eu", 5, "http://health")
    assert settings.target("default").kubernetes.context is None


def test_an_unknown_target_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    settings = configured(tmp_path, "targets:\n- name: staging\n")
    with pytest.raises(SettingsError, match="did you mean staging"):
        settings.target("stagin")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("target: []", "did you mean targets?"),
        ("targets: {eu: 1}", "a list of maps"),
        ("targets: [{name: eu, MISTRAL_API_UR: x}]", "did you mean MISTRAL_API_URL?"),
        ("targets: [{name: default}]", "not used twice"),
        ("targets: [{name: eu, PORT: 1}]", "PORT is not a setting of a target"),
        ("targets: [{name: eu, PROMETHEUS_URL: x}]", "targets: eu: PROMETHEUS_URL holds 'x'"),
        ("timeouts: {canary: fast}", "a number of seconds above 0"),
        ("timeouts: {canari: 3}", "did you mean canary?"),
        ("limits: {pods: 0}", "a whole number above 0"),
        ("limits: {pods: true}", "a whole number above 0"),
        ("labels: {code: 3}", "a label's name"),
        ("log_excerpts: maybe", "true or false"),
        ("[1, 2]", "a map of settings"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_yaml_file_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    (problem,) = problems({"MISTRAL_BOT_CONFIG": str(written(tmp_path, text))})
    assert told in problem


def test_time_outs_and_limits_of_the_yaml_file_are_used(tmp_path: Path) -> None:
    settings = configured(tmp_path, "timeouts: {logs: 2, default: 4}\nlimits: {pods: 7}\nlabels: {code: status}\n")
    assert [settings.timeouts.of(probe) for probe in ("logs", "pods", "canary")] == [2, 4, 8]
    assert (settings.limits.pods, settings.labels.code) == (7, "status")


def test_a_secret_in_a_wrong_line_of_the_yaml_file_is_masked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        configured(tmp_path, "status_page: {logo: 'https://ada:planted@a.example/x.svg'}\nlog_excerpts: token=planted")
    assert "log_excerpts holds" in str(caught.value)
    assert "planted" not in f"{caught.value!r} {caught.value}"
