// Where a program keeps its files: the XDG base directories, mailfs's own part of each. A variable
// that is not an absolute path counts as not set, as the XDG specification has it; without HOME the
// user database says where home is.
#pragma once

char *directories_config(void);  // $XDG_CONFIG_HOME/mailfs
char *directories_cache(void);   // $XDG_CACHE_HOME/mailfs
char *directories_state(void);   // $XDG_STATE_HOME/mailfs
