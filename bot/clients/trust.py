"""The certificates that are trusted, loaded once for all who ask over TLS: 20 ms and half a megabyte each time."""

import ssl
from functools import lru_cache
from pathlib import Path

from bot.errors import SettingsError


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """The system's, or those of ``ca_file`` as it is now; raises SettingsError where that cannot be read."""
    try:
        return _loaded(ca_file, None if ca_file is None else ca_file.stat().st_mtime_ns)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificates in PEM form"
        raise SettingsError([f"SSL_CERT_FILE holds {str(ca_file)!r}, which cannot be used: {reason}"]) from error


@lru_cache(maxsize=1)
def _loaded(ca_file: Path | None, changed_at: int | None) -> ssl.SSLContext:
    del changed_at
    if ca_file is not None:
        return ssl.create_default_context(cafile=str(ca_file))
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and ssl.get_default_verify_paths().capath is None:
        # a Python that was built elsewhere looks for the system's certificates in the wrong place
        import certifi

        context.load_verify_locations(certifi.where())
    return context
