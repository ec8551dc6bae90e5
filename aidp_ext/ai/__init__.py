"""The AI router: one governed, OpenAI-compatible way to every model, local or in the cloud."""
