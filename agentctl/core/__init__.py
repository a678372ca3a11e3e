"""Pure decisions: values in, values out. No I/O, clock or randomness."""
