//! The immutable tree of a Windows image, and where its bytes live.
