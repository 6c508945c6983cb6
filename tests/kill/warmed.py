"""What the processes of the kill tests are forked from: everything is imported, and the templates are compiled."""

from tests.kill.story import warm

warm()
