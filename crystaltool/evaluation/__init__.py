"""The field's metrics over many structures, each as its paper defines it, with the number of structures beside it."""
