/* filedamage: what may happen to a file of the state directory while lanes have
 * it open. */
#ifndef FILEDAMAGE_H
#define FILEDAMAGE_H

enum filedamage {
	DAMAGE_CUT, /* truncate to nothing, a full disk at a restore */
	DAMAGE_CUT_SHORT, /* 100 octets are left */
	DAMAGE_ZERO, /* all octets 0, the length as it was */
	DAMAGE_NOISE,
	DAMAGE_OLDER, /* cp: what filedamage_keep() saw, in the same file */
	DAMAGE_REMOVED,
	DAMAGE_REPLACED, /* mv: what filedamage_keep() saw, another file */
	DAMAGE_MOVED_EMPTY, /* mv of an empty file */
	DAMAGE_COUNT,
};

extern const char *const filedamage_names[DAMAGE_COUNT];

/* Remembers the content of DIR/NAME, and returns in another millisecond. */
void filedamage_keep(const char *dir, const char *name);

void filedamage_do(const char *dir, const char *name, enum filedamage what);

#endif
