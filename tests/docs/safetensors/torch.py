from . import write


def save_file(tensors, path):
    write({name: tensor.numpy() for name, tensor in tensors.items()}, path)
