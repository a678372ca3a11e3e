"""Pure decisions: values in, values out, without I/O, clock or randomness."""
