"""Language models as judges: what they are asked, how an answer is read, and where the model runs."""
