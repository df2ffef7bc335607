// Claim: every address of a list is found, whatever stands around it, and a list that holds
// anything else is refused instead of sent to some of those it names.
#include "cache/letter_address.h"

#include <string.h>

#include "cache/letter.h"

typedef struct {
  const char *name, *value, *addresses;  // separated by blanks
} Understood;

static const Understood understood[] = {
    {"one", "a@x.org", "a@x.org"},
    {"none", "", ""},
    {"in brackets", "<a@x.org>", "a@x.org"},
    {"display names", "Bob <b@x.org>, \"C, D\" <c@x.org> (x, y)", "b@x.org c@x.org"},
    {"a display name with dots", "Dr. J. Q. Doe <a@x.org>", "a@x.org"},
    {"a display name that is an address", "a@x.org <b@x.org>", "b@x.org"},
    {"a display name with a quoted quote", "\"a \\\" <b@x.org>, \" <c@x.org>", "c@x.org"},
    {"RFC 2047 names", "=?utf-8?q?Ann=C3=A9?= <a@x.org>, =?iso-8859-1?B?SvZyZywgQg==?= <j@x.org>",
     "a@x.org j@x.org"},
    {"RFC 2047 commas and brackets stay in their word",
     "=?utf-8?q?A=2C_=3Cb=40x.org=3E?= <c@x.org>", "c@x.org"},
    {"UTF-8 name", "J\xc3\xb6rg <j@x.org>", "j@x.org"},
    {"a name in Latin-1", "J\xf6rg <j@x.org>", "j@x.org"},
    {"UTF-8 address", "J\xc3\xb6rg <j\xc3\xb6rg@m\xc3\xbcller.example>",
     "j\xc3\xb6rg@m\xc3\xbcller.example"},
    {"group", "Friends: a@x.org, Bob <b@x.org>;, c@x.org", "a@x.org b@x.org c@x.org"},
    {"groups side by side", "A: a@x.org;, \"B:\": b@x.org;", "a@x.org b@x.org"},
    {"an empty group", "undisclosed-recipients:;", ""},
    {"a group of blanks and commas", "undisclosed-recipients: , ;", ""},
    {"RFC 2047 group name", "=?utf-8?q?G=C3=A9?=: a@x.org;", "a@x.org"},
    {"empty places", ", a@x.org,, b@x.org,", "a@x.org b@x.org"},
    {"quoted local part", "\"a@b\"@x.org, <\"c,d\"@x.org>", "\"a@b\"@x.org \"c,d\"@x.org"},
    {"a quoted bracket", "a@x.org, \"<\\\">\"  <b@x.org>", "a@x.org b@x.org"},
    {"domain literal", "a@[192.0.2.1], <b@[IPv6:2001:db8::1]>",
     "a@[192.0.2.1] b@[IPv6:2001:db8::1]"},
    {"plus, dots and the like", "a+b.c-d_e=f@x-y.org, o'neil@x.org",
     "a+b.c-d_e=f@x-y.org o'neil@x.org"},
    {"a source route", "<@a.org:b@x.org>, C <@a.org,@[192.0.2.1] , @d.org: c@x.org>",
     "b@x.org c@x.org"},
    {"comments", "(x) a@x.org (y), B (z) <b@x.org> (b@y.org)", "a@x.org b@x.org"},
    {"comments in comments", "a@x.org (b (c@x.org, \\) d) e)", "a@x.org"},
    // RFC 5322 appendix A.5.
    {"comments within an address", "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
     "pete@silly.test"},
    {"comments all over",
     "A Group(Some people)\n     :Chris Jones <c@(Chris's host.)public.example>,\n"
     "         joe@example.org,\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
     "c@public.example joe@example.org jdoe@one.test"},
    {"comments and no one", "(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", ""},
    {"blanks around the @", "a @ x.org, < b@ x.org >", "a@x.org b@x.org"},
};

static void test_understood(gconstpointer data) {
  const Understood *row = data;
  g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GError) error = NULL;
  letter_addresses_add(addresses, "To field", row->value, NULL, &error);
  g_assert_no_error(error);
  g_ptr_array_add(addresses, NULL);
  g_autofree char *joined = g_strjoinv(" ", (char **)addresses->pdata);
  g_assert_cmpstr(joined, ==, row->addresses);
}

typedef struct {
  const char *name, *value;
} Broken;

static const Broken broken[] = {
    {"no domain", "alice"},
    {"an unquoted comma in a name", "Doe, John <john@x.org>"},
    {"no local part", "@x.org"},
    {"an empty domain", "a@"},
    {"two @", "a@b@c"},
    {"no comma between", "a@x.org b@x.org"},
    {"semicolons", "a@x.org; b@x.org"},
    {"text after the brackets", "<a@x.org> b@x.org"},
    {"brackets twice", "<a@x.org> <b@x.org>"},
    {"an open quote", "\"a <a@x.org>"},
    {"an open comment", "a@x.org (b"},
    {"an open group", "Friends: a@x.org"},
    {"a bracket in brackets", "<a@x.org<b@x.org>"},
    {"bytes that are no UTF-8", "\xff@x.org"},
    {"a control character", "<a\x01@x.org>"},
    {"blanks in quotes", "\"a b\"@x.org"},
    {"brackets in quotes", "\"a<b>\"@x.org"},
    {"a blank in a domain literal", "a@[192.0.2.1 x]"},
    {"a blank after a dot", "Dr. bob@x.org"},
    {"an address in a group's name", "a@x.org Friends: b@x.org;"},
    {"a group in a group", "A: B: b@x.org;;"},
    {"a broken source route", "<@a.org,b.org:c@x.org>"},
    {"a source route over no host", "<@a..org:c@x.org>"},
    {"a source route to nobody", "<@a.org:>"},
    {"a source route without brackets", "@a.org:b@x.org"},
    {"an encoded address", "=?utf-8?q?a=40x.org?="},
    {"a line end that injects", "<a@x.org\r\nRCPT TO:<b@x.org>"},
    {"a line end alone that injects", "a@x.org\rb"},
    {"a backslash", "a\\@x.org"},
    {"a domain with an empty label", "a@x..org"},
    {"a domain that ends in a dot", "a@x.org."},
    {"an underlined scheme", "mailto:a@x.org"},
};

static void test_broken(gconstpointer data) {
  const Broken *row = data;
  g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GError) error = NULL;
  g_assert_false(letter_addresses_add(addresses, "To field", row->value, NULL, &error));
  g_assert_error(error, LETTER_ERROR, LETTER_ERROR_INVALID);
  g_assert_true(g_str_has_prefix(error->message, "its To field is broken: \""));
  for (const char *c = error->message; *c != '\0'; c++)
    g_assert_false(g_ascii_iscntrl(*c));
}

// The piece that is meant stands in the reason, and no more than can be read.
static void test_words(void) {
  g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GError) error = NULL;
  g_assert_false(
      letter_addresses_add(addresses, "Cc field", "a@x.org, Doe, John <j@x.org>", NULL, &error));
  g_assert_cmpstr(error->message, ==, "its Cc field is broken: \"Doe\" is no address");
  g_autofree char *many = g_strnfill(100000, 'x');
  g_clear_error(&error);
  g_assert_false(letter_addresses_add(addresses, "Cc field", many, NULL, &error));
  g_assert_cmpuint(strlen(error->message), <, 150);
}

// What is no address is refused in a time that grows with its length only: with the square of it,
// the test would not end in time.
static void test_long(void) {
  static const char *const around[][2] = {{"a@[", "]"}, {"[", "]: b;"}, {"<[", "]>"}, {"(", ""},
                                          {"<", ">"},   {"\"", ""},     {"a@b, ", ""}};
  for (size_t i = 0; i < G_N_ELEMENTS(around); i++) {
    g_autoptr(GString) text = g_string_new(around[i][0]);
    g_string_append_c(text, '"');
    for (unsigned quotes = 0; quotes < 400000; quotes++)
      g_string_append(text, "\\\"");
    g_string_append(text, around[i][1]);
    g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_assert_false(letter_addresses_add(addresses, "To field", text->str, NULL, &error));
  }
}

// Where one is asked for, it is one.
static void test_one(void) {
  g_autoptr(GError) error = NULL;
  g_autofree char *address = letter_address_read("sender", "Alice <a@x.org>", &error);
  g_assert_cmpstr(address, ==, "a@x.org");
  g_assert_null(letter_address_read("sender", "a@x.org, b@x.org", &error));
  g_assert_cmpstr(error->message, ==, "its sender is broken: it holds 2 addresses");
  g_clear_error(&error);
  g_assert_null(letter_address_read("sender", "", &error));
  g_assert_error(error, LETTER_ERROR, LETTER_ERROR_INVALID);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(understood); i++) {
    g_autofree char *path = g_strconcat("/letter_address/", understood[i].name, NULL);
    g_test_add_data_func(path, &understood[i], test_understood);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
    g_autofree char *path = g_strconcat("/letter_address/broken/", broken[i].name, NULL);
    g_test_add_data_func(path, &broken[i], test_broken);
  }
  g_test_add_func("/letter_address/words", test_words);
  g_test_add_func("/letter_address/long", test_long);
  g_test_add_func("/letter_address/just one", test_one);
  return g_test_run();
}
