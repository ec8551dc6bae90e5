"""Ship: from what is staged to a review, step by step, to be gone on with after a failure, a stop or a crash."""
