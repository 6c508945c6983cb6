"""What the processes of the kill tests are forked from: everything is imported, and the templates are compiled."""

from bot.clients.kubeconfig import load_vendor
from tests.kill import remedy
from tests.kill.story import warm

__all__ = ["remedy"]

load_vendor()
warm()
