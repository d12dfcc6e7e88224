/* jsmn.c: the one copy of the tokenizer's code; everything else sees only its types (json.h). */
#define JSMN_STRICT
#include <jsmn.h>
