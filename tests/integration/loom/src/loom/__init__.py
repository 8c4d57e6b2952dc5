"""A small project that uses about everything: the integration tests run it in every way there is."""
