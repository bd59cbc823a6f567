"""Programs of the project itself: the book's driver, and the environment it runs in."""
