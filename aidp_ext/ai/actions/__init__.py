"""What a model is asked to do with a cell, a selection, a file or a notebook, and the changes that it proposes."""
