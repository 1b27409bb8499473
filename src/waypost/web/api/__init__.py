"""The `/v1` routes: one file per noun, each route with its declared scope."""
