"""Views: frozen recipes over a 4D document, and the array work that renders them."""
