# Shortens what a cmocka program prints: nothing of a test that passed silently, everything of the others.  -v name=: the program.
/^\[==========\]/ { next }
/^\[ RUN      \]/ { running = $0; next }
/^\[       OK \]/ { running = ""; next }
/^\[  PASSED  \]/ { print $0 (name ? "  " name : ""); fflush(); next }
running != "" { print running; running = "" }
{ print; fflush() }
END { if (running != "") print running " (and did not end)" }
