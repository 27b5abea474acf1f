"""What `crystaltool view` does: fields of structures and building blocks, a language of filters, order and formats."""
