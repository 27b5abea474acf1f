"""Assembly: blocks, centres and a cell in, rotations, connections and a cell that close out."""

from crystaltool.mof.assemble.assembly import REASONS, Assembly, AssemblyConfig, best
from crystaltool.mof.assemble.solve import assemble, assemble_best, assemble_many

__all__ = ["REASONS", "Assembly", "AssemblyConfig", "assemble", "assemble_best", "assemble_many", "best"]
