"""Models as graphs of ONNX, for whatever runtime reads them."""
