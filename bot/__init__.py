"""The incident bot for products built on the Mistral AI API; design and rooms are told in README.md."""
