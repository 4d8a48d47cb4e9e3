//! How bytes leave: listeners, connections and draining. Not built yet; the program serves by itself.
