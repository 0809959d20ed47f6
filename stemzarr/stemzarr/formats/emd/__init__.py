"""EMD files of Berkeley, py4DSTEM and Velox."""
