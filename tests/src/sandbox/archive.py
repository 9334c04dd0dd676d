"""Packs a program or a directory into an archive: `archive level path name`.

The same files give the same bytes, whenever and wherever they are packed.
"""

import pathlib
import stat
import sys
import zipfile

archive, level, path, name = sys.argv[1:]
path = pathlib.Path(path)
files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]

with zipfile.ZipFile(archive, "w") as packed:
    for file in files:
        below = file.relative_to(path)
        entry = zipfile.ZipInfo(str(pathlib.PurePosixPath(name, below)), date_time=(1980, 1, 1, 0, 0, 0))
        entry.create_system = 3  # Unix, whose permissions follow.
        executable = file.stat().st_mode & stat.S_IXUSR
        entry.external_attr = (0o100755 if executable else 0o100644) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        packed.writestr(entry, file.read_bytes(), compresslevel=int(level))
