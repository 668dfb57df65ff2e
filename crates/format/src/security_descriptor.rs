//! Windows security descriptors: the self-relative binary form and SDDL.
