"""One lock for the imports that are made late and in threads.

Two threads that import packages which import each other (kubernetes and prometheus-api-client both bring requests)
can see a module half made: Python breaks the deadlock by letting one of them go on.
"""

import threading

IMPORTING = threading.Lock()
