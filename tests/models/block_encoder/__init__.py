"""Tests of the block encoder."""
