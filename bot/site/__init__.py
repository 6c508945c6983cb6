"""What the public reads, made from what was published and from nothing else: pages, feed and JSON.

Whoever serves it over HTTP (``web``) or writes it into a folder (``statuspages/file``) decides where each part stands.
"""
