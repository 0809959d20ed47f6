"""What writers of several formats share."""
