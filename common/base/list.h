/* list: intrusive doubly linked list, circular, with a sentinel head.
 *
 * An element embeds `struct list link`; list_entry() gets back from the link
 * to the element. A link must be initialised (list_init) before list_remove
 * may be called on it; list_remove leaves it initialised, so removing twice
 * is harmless and list_is_linked() tells the truth.
 */
#ifndef LIST_H
#define LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

#define list_entry(ptr, type, member)                                          \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define list_each(it, head)                                                    \
	for (struct list *it = (head)->next; it != (head); it = it->next)

/* As list_each, when the body may remove `it`. */
#define list_each_safe(it, head)                                               \
	for (struct list *it = (head)->next, *it##_next = it->next;            \
	     it != (head); it = it##_next, it##_next = it->next)

static inline void
list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool
list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool
list_is_linked(const struct list *link)
{
	return link->next != link;
}

static inline void
list_insert_after(struct list *at, struct list *link)
{
	link->prev = at;
	link->next = at->next;
	at->next->prev = link;
	at->next = link;
}

static inline void
list_push(struct list *head, struct list *link)
{
	list_insert_after(head->prev, link);
}

static inline void
list_push_front(struct list *head, struct list *link)
{
	list_insert_after(head, link);
}

static inline void
list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

static inline struct list *
list_first(struct list *head)
{
	return list_is_empty(head) ? NULL : head->next;
}

/* Removes and returns the first link, NULL when empty. */
static inline struct list *
list_pop(struct list *head)
{
	struct list *link = list_first(head);

	if (link != NULL)
		list_remove(link);
	return link;
}

#endif
