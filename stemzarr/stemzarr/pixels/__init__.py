"""Arrays by the block: what derives from `Blocks`, boxes, buffers, packing, transposing."""
