//! Q-networks: torsos that read token sequences and heads that value actions
