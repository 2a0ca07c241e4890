"""The effect that SAFT lives on, measured: what each way of adapting gains in its own style and keeps elsewhere."""
