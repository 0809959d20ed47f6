"""Training straight from stores."""
