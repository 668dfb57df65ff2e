//! What changes to a Windows image mean. Steps are functions from image to image.
