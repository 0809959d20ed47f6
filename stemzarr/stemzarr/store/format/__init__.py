"""The form of a store: encoding, shards, nodes, manifest."""
