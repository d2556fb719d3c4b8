"""From a trained model and a volume to a label map on the volume's own grid."""
