"""What a model is told beside the question: of the notebook, the kernel, the open files and the workspace."""
