//! Windows Imaging files (WIM, ESD, SWM).
