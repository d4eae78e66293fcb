"""What a model knows: questions with known answers, scored as lm-evaluation-harness scores them."""
