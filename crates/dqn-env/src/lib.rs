//! Text environments and the rewards that judge what is written in them
