"""Reading .sarz files over a network through fsspec: exact ranges, few of them, at once, and tried again.

::

    source.RemoteSource --> opening     a URL, or an object with a file system and a path, to both
                        `-> transports  which of these a file system gets:
                              http      status, Content-Range and ETag are checked
                              s3        the same of S3's answers
                              plain     any other file system: its cat_file
            all of them  --> answer     what a request brought;  retry: what is worth another try

fsspec is imported with `opening`, when a URL is first opened.
"""
