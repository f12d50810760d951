"""Files of named arrays, whatever program wrote them: HDF5, NPZ, MATLAB and raw frames, opened without running code."""
