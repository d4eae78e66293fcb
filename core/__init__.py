"""What every stage shares: errors, the recipe, schemas, manifests, the stage runner, progress."""
