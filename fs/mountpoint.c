#include "fs/mountpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TYPE "fuse.mailfs"

// Field of mountinfo(5): ID PARENT MAJ:MIN ROOT PATH OPTIONS [TAG...] - TYPE SOURCE SUPEROPTIONS
#define FIELD_DEVICE 2
#define FIELD_PATH 4

#define FUSE_DESCRIPTORS "/dev/fd/"

static bool line_is_at(char **fields, const char *path) {
  if (g_strv_length(fields) <= FIELD_PATH) return false;
  g_autofree char *where = g_strcompress(fields[FIELD_PATH]);  // \040 and the like
  return strcmp(where, path) == 0;
}

static const char *line_type(char **fields) {
  for (char **field = fields; *field != NULL; field++)
    if (strcmp(*field, "-") == 0) return field[1];
  return NULL;
}

static bool read_device(const char *field, dev_t *device) {
  unsigned major, minor;
  if (sscanf(field, "%u:%u", &major, &minor) != 2) return false;
  *device = makedev(major, minor);
  return true;
}

bool mountpoint_find_in(const char *mountinfo, const char *path, dev_t *device) {
  bool ours = false;
  g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);
  for (char **line = lines; *line != NULL; line++) {
    g_auto(GStrv) fields = g_strsplit(*line, " ", -1);
    if (line_is_at(fields, path))
      ours = g_strcmp0(line_type(fields), TYPE) == 0 && read_device(fields[FIELD_DEVICE], device);
  }
  return ours;
}

bool mountpoint_find(const char *path, dev_t *device) {
  g_autofree char *mountinfo = NULL;
  return g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, NULL) &&
         mountpoint_find_in(mountinfo, path, device);
}

char *mountpoint_resolve(const char *path) {
  if (g_str_has_prefix(path, FUSE_DESCRIPTORS)) return NULL;
  char *real = realpath(path, NULL);
  char *result = g_strdup(real);
  free(real);
  return result;
}

// As in mountinfo. The last component is not followed: it is what is dead.
static char *resolve_parent(const char *path) {
  g_autofree char *parent = g_path_get_dirname(path);
  g_autofree char *name = g_path_get_basename(path);
  char *real = realpath(parent, NULL);
  if (real == NULL) return g_strdup(path);
  char *result = g_build_filename(real, name, NULL);
  free(real);
  return result;
}

static bool detach(const char *path) {
  if (geteuid() == 0) return umount2(path, MNT_DETACH) == 0;
  const char *const argv[] = {"fusermount3", "-u", "-z", "--", path, NULL};
  int status;
  return g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                      &status, NULL) &&
         g_spawn_check_wait_status(status, NULL);
}

static bool remove_dead_mount(const char *path, GError **error) {
  g_autofree char *where = resolve_parent(path);
  dev_t device;
  if (!mountpoint_find(where, &device)) {
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                "%s: a dead mount that is not a mailfs lies here", path);
    return false;
  }
  if (!detach(where)) {
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: cannot remove the dead mount", path);
    return false;
  }
  g_message("%s: removed a dead mount", path);
  return true;
}

bool mountpoint_prepare(const char *path, GError **error) {
  struct stat attr;
  if (g_str_has_prefix(path, FUSE_DESCRIPTORS)) return true;
  // Of a dead mount the kernel may still have the attributes, but it must ask for this.
  struct statfs disk;
  if (statfs(path, &disk) != 0 && errno == ENOTCONN && !remove_dead_mount(path, error))
    return false;
  int result = stat(path, &attr);
  if (result == 0 && S_ISDIR(attr.st_mode)) return true;
  int code = result == 0 ? ENOTDIR : errno;
  g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(code), "%s: %s", path,
              g_strerror(code));
  return false;
}
