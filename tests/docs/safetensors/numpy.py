from . import read as load_file
from . import write as save_file
