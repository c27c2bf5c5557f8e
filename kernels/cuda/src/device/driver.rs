//! A device of NVIDIA's, by its driver.
